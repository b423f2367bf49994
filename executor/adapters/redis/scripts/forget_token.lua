-- Deletes the session's token, if it is still this one: a late failure must not remove a renewed token.
-- KEYS[1]  the session
-- ARGV[1]  the token
-- Returns 1 when it was deleted.
local read, held = pcall(cjson.decode, redis.call('GET', KEYS[1]) or '{}')
if read and type(held) == 'table' and held['token'] == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
