"""The device's timetable, job reports, absence, and maintenance windows."""
