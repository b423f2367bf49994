-- Reads, at one moment, what sending orders rests on: the last look before a call's first byte. Writes nothing.
-- KEYS[1]  trading enabled
-- KEYS[2]  the reconciled mark
-- KEYS[3]  and on: order records
-- Returns seconds, microseconds, the kill switch, whether the mark is of this run, the records.
local time = redis.call('TIME')
local run = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
local reconciled = redis.call('GET', KEYS[2])
local orders = {}
for at = 3, #KEYS do
  orders[at - 2] = redis.call('GET', KEYS[at])
end
return {
  time[1],
  time[2],
  redis.call('GET', KEYS[1]),
  reconciled and string.sub(reconciled, 1, #run) == run and 1 or 0,
  orders,
}
