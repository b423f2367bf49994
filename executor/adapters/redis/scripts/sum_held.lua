-- Makes the kept total what the amounts by market add up to. KEYS[1] the hash, KEYS[2] its total in pennies.
-- Returns the total as it was and as it is, where they differ; nothing otherwise.
local kept = redis.pcall('GET', KEYS[2])
local sum = string.format('%.0f', sum_held(KEYS[1]))
if kept == sum or not kept and sum == '0' then
  return {}
end
redis.call('SET', KEYS[2], sum)
return { type(kept) == 'string' and kept or '', sum }
