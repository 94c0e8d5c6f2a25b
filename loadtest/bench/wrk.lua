-- Sends the codes of a file, or codes that nobody has asked for; prints what was counted as one line of JSON.
-- wrk calls init when it has set the Host. Arguments: the file of codes ("" for fresh ones), how many requests are sent at once, and a word that makes fresh codes new.
local threads = 0
local keep = 131072 -- the bytes of so many requests are made before the start

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
  thread:set("threads", threads)
end

function init(args)
  local request_bytes = wrk.format("GET", "/*")
  local star = request_bytes:find("*", 1, true)
  local head, tail = request_bytes:sub(1, star - 1), request_bytes:sub(star + 1)
  local file, pipeline, salt = args[1], tonumber(args[2]), args[3]
  local codes = {}
  if file ~= "" then
    for code in io.lines(file) do codes[#codes + 1] = code end
  end
  local count = #codes
  local at = count == 0 and 0 or math.floor(number * count / 2) % count
  local batch = {}
  local function make()
    for i = 1, pipeline do
      at = at + 1
      local code
      if count == 0 then
        code = "n" .. salt .. "-" .. number .. "-" .. at
      else
        if at > count then at = 1 end
        code = codes[at]
      end
      batch[i] = head .. code .. tail
    end
    return pipeline == 1 and batch[1] or table.concat(batch)
  end
  if count == 0 or count > keep then
    request = make
    return
  end
  local made, next = {}, 0
  for i = 1, math.max(1, math.floor(count / pipeline)) do made[i] = make() end
  count = #made
  request = function()
    next = next + 1
    if next > count then next = 1 end
    return made[next]
  end
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\n{"requests":%d,"micros":%d,"status":%d,"broken":%d,"p50":%d,"p99":%d,"p999":%d}\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
