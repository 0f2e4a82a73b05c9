"""The shared segment: one file in memory that every agent maps and nobody but its writers changes.

``layout`` says where everything lies, ``segment`` builds and opens the file, ``writer`` and
``reader`` hold the faces of its three regions, and ``_core`` is the C behind them.
"""
