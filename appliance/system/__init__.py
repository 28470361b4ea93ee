"""The operating system's side: clocks, durable files, the state folder, HTTP, the operator."""
