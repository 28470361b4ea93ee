"""The machine under the device: clocks, durable files, the state folder, HTTP, the operator."""
