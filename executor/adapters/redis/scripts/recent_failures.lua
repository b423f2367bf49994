-- Counts the failures that count for the breaker. Writes nothing.
-- KEYS[1]  breaker since
-- KEYS[2]  failed orders
-- ARGV[1]  breaker window in seconds
local lower = failures_from(redis.call('TIME'), ARGV[1], redis.call('GET', KEYS[1]))
return redis.call('ZCOUNT', KEYS[2], lower, '+inf')
