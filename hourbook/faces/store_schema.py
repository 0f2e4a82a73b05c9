"""The part of a Store that says what its values must look like."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from hourbook.book.store.files import StoreFiles
from hourbook.book.store.views import read_book
from hourbook.faces.store_link import StoreLink
from protocols import errors

if TYPE_CHECKING:
    import sqlite3

__all__ = ["StoreSchema"]


class StoreSchema:
    """The JSON Schema of a namespace; without one, any value fits."""

    namespace: str
    _link: StoreLink
    _files: StoreFiles

    def schema(self) -> dict[str, Any] | None:
        """Return the schema that new values must fit, None for none.

        Raises:
            BookMissing, NeedsWriter, BookClosed: the store cannot be read.
        """

        def read(connection: "sqlite3.Connection") -> Any:  # noqa: ANN401 - a row
            query = "SELECT schema FROM kv_schema WHERE ns = ?"
            return connection.execute(query, (self.namespace,)).fetchone()

        row = read_book(self._files, read)
        return None if row is None else msgspec.json.decode(row[0])

    def set_schema(self, schema: Mapping[str, Any] | None) -> None:
        """Have each value that is set from now on fit a JSON Schema; those that are there stay.

        Args:
            schema: of 64 KiB at most, as JSON; None: any value fits.

        Raises:
            BadRequest, LimitExceeded: it is no schema, or one that could take too long.
            DiskFull, BookCorrupt, OutcomeUnknown, ActorUnreachable: as of ``Store.set``.
        """
        from protocols.kv_messages import SetSchema  # noqa: PLC0415 - rarely

        try:
            text = "" if schema is None else msgspec.json.encode(schema).decode()
        except (TypeError, ValueError, RecursionError, msgspec.EncodeError) as error:
            raise errors.BadRequest(
                f"Expected a JSON Schema, got a value that is no JSON: {error}", field="schema"
            ) from None
        self._link.change("kv.schema", SetSchema, ns=self.namespace, schema=text).wait()
