-- Extends a lock, if it is still its holder's.
-- KEYS[1]  the lock
-- ARGV[1]  the holder's token
-- ARGV[2]  its life from now, in seconds
-- Returns 1 when it was extended.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('EXPIRE', KEYS[1], ARGV[2])
end
return 0
