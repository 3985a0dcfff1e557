// Replaced by this room's code.
