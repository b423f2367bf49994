-- Changes limits, all of them or none, if those that the caller saw still stand.
-- KEYS: limits.  ARGV: number of fields that were seen; for each field and what it held ("" where it was missing); then
-- for each change field and value.  Returns for each change what it was ("" where missing), or 0 when something differs.
local seen = tonumber(ARGV[1])
for at = 0, seen - 1 do
  local held = redis.call('HGET', KEYS[1], ARGV[2 + 2 * at]) or ''
  if held ~= ARGV[3 + 2 * at] then return 0 end
end
local old = {}
for at = 2 + 2 * seen, #ARGV, 2 do
  old[#old + 1] = redis.call('HGET', KEYS[1], ARGV[at]) or ''
end
if #old > 0 then
  redis.call('HSET', KEYS[1], unpack(ARGV, 2 + 2 * seen))
end
return old
