-- Reads, at one moment, what sending orders rests on: the last look before a call's first byte. Writes nothing.
-- KEYS[1]  trading enabled
-- KEYS[2]  the reconciled mark
-- KEYS[3]  markets in which nothing is placed
-- KEYS[4]  and on: order records
-- ARGV[1]  the market
-- Returns seconds, microseconds, the kill switch, whether the mark is of this run, why the market is stopped, the records.
local time = redis.call('TIME')
local run = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
local reconciled = redis.call('GET', KEYS[2])
local orders = {}
for at = 4, #KEYS do
  orders[at - 3] = redis.call('GET', KEYS[at])
end
return {
  time[1],
  time[2],
  redis.call('GET', KEYS[1]),
  reconciled and string.sub(reconciled, 1, #run) == run and 1 or 0,
  redis.call('HGET', KEYS[3], ARGV[1]) or '',
  orders,
}
