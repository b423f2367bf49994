-- Reads, at one moment, all that a step on one market may depend on. Writes nothing.
-- KEYS[1]  identity
-- KEYS[2]  trading enabled
-- KEYS[3]  reconciled
-- KEYS[4]  limits
-- KEYS[5]  P&L of the day
-- KEYS[6]  breaker
-- KEYS[7]  breaker since
-- KEYS[8]  failed orders
-- KEYS[9]  the market's revision
-- KEYS[10] the market's orders
-- KEYS[11] transactions of the hour
-- KEYS[12...] signal records, then order records asked for beside the market's own
-- ARGV[1]  prefix of an order's key
-- ARGV[2]  breaker window in seconds
-- ARGV[3]  number of signal records among the keys
local time = redis.call('TIME')
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local reconciled = redis.call('GET', KEYS[3])
local lower = failures_from(time, ARGV[2], redis.call('GET', KEYS[7]))
local wanted = {}
for _, id in ipairs(redis.call('SMEMBERS', KEYS[10])) do
  wanted[#wanted + 1] = ARGV[1] .. id
end
local signals = {}
for at = 12, #KEYS do
  if at <= 11 + ARGV[3] then
    signals[at - 11] = redis.call('GET', KEYS[at])
  else
    wanted[#wanted + 1] = KEYS[at]
  end
end
local orders = {}
for at, key in ipairs(wanted) do
  orders[at] = redis.call('GET', key)
end
return {
  time[1],
  time[2],
  redis.call('GET', KEYS[1]),
  redis.call('GET', KEYS[2]),
  reconciled and string.sub(reconciled, 1, #run) == run and 1 or 0,
  redis.call('HGETALL', KEYS[4]),
  redis.call('GET', KEYS[5]),
  redis.call('HGETALL', KEYS[6]),
  lower,
  redis.call('ZCOUNT', KEYS[8], lower, '+inf'),
  redis.call('GET', KEYS[9]),
  signals,
  orders,
  redis.call('GET', KEYS[11]),
}
