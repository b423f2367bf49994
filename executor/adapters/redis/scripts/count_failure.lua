-- Counts a failure; the count forgets itself some time after the first.
-- KEYS[1]  the count
-- ARGV[1]  its life, in seconds
-- Returns the count.
local count = redis.call('INCR', KEYS[1])
if count == 1 then
  redis.call('EXPIRE', KEYS[1], ARGV[1])
end
return count
