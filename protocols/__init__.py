"""What travels between processes and what is kept: pure, without sockets, files or clocks."""
