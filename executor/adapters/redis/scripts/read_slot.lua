-- Takes, or keeps, one of so many places of those who read orders at the exchange.
-- KEYS[1]  the readers, by when their place lapses (ms)
-- ARGV[1]  who
-- ARGV[2]  places in all
-- ARGV[3]  how long the place is held without a renewal (ms)
-- Returns 1 when the place is held.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
-- Nobody holds a place for longer than that: the clock was set back since, or somebody put this there.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. now + ARGV[3], '+inf')
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], 2 * ARGV[3])
if redis.call('ZCARD', KEYS[1]) <= tonumber(ARGV[2]) then
  return 1
end
redis.call('ZREM', KEYS[1], ARGV[1])
return 0
