"""The kill switch starts fast: what it does not need is not loaded."""

import subprocess
import sys

HEAVY = ("sqlalchemy", "alembic", "fastapi", "starlette", "uvicorn", "jinja2", "tornado", "celery", "matplotlib")


def test_the_kill_switch_loads_no_sql_no_web_and_no_sandbox_server() -> None:
    code = f"import sys, executor.cli.main; print([name for name in {HEAVY!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"
