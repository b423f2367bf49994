"""`python -m betfair_sandbox`: the command where no script is installed."""

from betfair_sandbox.cli import run

if __name__ == "__main__":
    run()
