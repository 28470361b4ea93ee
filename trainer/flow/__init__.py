"""Order flow: the top of a book second by second, and what confirms that its next move is up; research, nothing on a device reads it."""
