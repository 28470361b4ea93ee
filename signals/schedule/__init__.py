"""When jobs run: timetables anchored to exchange sessions, and the pure decision of what is due."""
