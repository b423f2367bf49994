"""The storm: the whole system in real processes, everything breaking at random, then the promises checked.

`signals` and `plan` say from a seed what is sent and what breaks; `arena` and `processes` hold the running system,
`publisher` and `breakage` do what was planned; `books` reads what the exchange and we have, `exposure` and `verdict`
hold the one against the other, `table` prints. `make storm SEED=n MINUTES=m`.
"""
