"""What runs the tools: one module a tool, in a process of its own."""
