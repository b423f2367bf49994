"""Flower's settings, read from the working directory; each with its why. Flower shows the tasks; it decides nothing."""

from pathlib import Path

address = "127.0.0.1"  # without a login its pages are open to whoever can reach them
_login = Path("/run/secrets/flower-login")  # user:password; compose mounts it there
basic_auth = [_login.read_text(encoding="utf-8").strip()] if _login.exists() else []
read_only = True  # no buttons, no API calls that act: workers are stopped, and tasks sent, by other means
port = 5555
tasks_columns = "name,uuid,state,result,received,runtime,worker"  # ids and outcomes: where a signal is, and why
max_tasks = 10_000  # a day of busy trading, in about 100 MB
natural_time = False  # exact times, to compare with logs
purge_offline_workers = 3600  # seconds; each container that was replaced would otherwise stay on its list
persistent = False  # its database is a pickle; what must last is in the ledger
