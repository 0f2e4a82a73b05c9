"""From samples to an interval that can be trusted, and an estimate inside it.

Two products, never mixed: a *hard interval* (`bounds`, `hull`), which contains UTC as long as most
sources are honest and the oscillator keeps its promise, and a *statistical estimate* (`kalman`),
which moves freely inside it. `model` wires them; `status` says how far to trust the result;
`polling` and `kernel` decide when to ask whom. All of these are pure.

The edges are `exchange` (one UDP socket), `resolver` (name lookups), `adjtimex` (the kernel) and
`drift_file`.
"""
