"""Flower's settings, read from the working directory; each with its why. Flower shows the tasks; it decides nothing."""

address = "127.0.0.1"  # its pages ask for no password, and its buttons act on the workers
port = 5555
tasks_columns = "name,uuid,state,result,received,runtime,worker"  # ids and outcomes: where a signal is, and why
max_tasks = 10_000  # a day of busy trading, in about 100 MB
natural_time = False  # exact times, to compare with logs
persistent = False  # its database is a pickle; what must last is in the ledger
