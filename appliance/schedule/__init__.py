"""When jobs run: the timetable, catching up after an absence, and maintenance windows."""
