// Replaced by this room's tests.
