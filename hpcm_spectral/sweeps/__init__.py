"""Many runs from one command: their folders, what to do with runs that exist, the table at the end."""
