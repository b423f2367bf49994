-- The breaker's window, the one place for its rule: which failures count. Put before scripts that ask; no script itself.
-- Those of the last `window` seconds, and only after `since` (the last success, trip or reset) where that lies among them;
-- a `since` that is still to come would hide every failure until then, so it counts for nothing.
-- Returns the lower bound of their scores, for ZCOUNT.
local function failures_from(time, window, since)
  local lower = time[1] - window -- whole seconds, so that looks in one second say the same
  since = tonumber(since or '')
  if since and since >= lower and since <= time[1] + 1 then
    return string.format('(%.3f', since)
  end
  return string.format('%.3f', lower)
end
