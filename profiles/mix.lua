-- What visitors ask for, for wrk: codes by Zipf's law, one in twenty unknown, with the headers of browsers.
-- Arguments: the number of links p000001..., and how many requests are sent at once.
local agents = {
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
  "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
  "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
}
local requests, pipelined = {}, 1

local function format(method, path, i)
  return wrk.format(method, path, {
    ["Host"] = "sho.rt",
    ["User-Agent"] = agents[i % #agents + 1],
    ["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ["Accept-Language"] = "en-US,en;q=0.5",
    ["Accept-Encoding"] = "gzip, deflate, br",
    ["Referer"] = i % 3 == 0 and "https://news.example.com/a/story" or nil,
  })
end

function init(args)
  local links = tonumber(args[1])
  pipelined = tonumber(args[2])
  math.randomseed(os.time())
  -- 1/x over the ranks is an exponential of a uniform number.
  for i = 1, 20000 do
    local rank = math.min(math.floor(math.exp(math.random() * math.log(links + 1))), links)
    local path = string.format("/p%06d", rank)
    if i % 20 == 0 then path = string.format("/unknown%d", i) end
    requests[i] = format("GET", path, i)
  end
end

function request()
  if pipelined == 1 then return requests[math.random(#requests)] end
  local all = {}
  for i = 1, pipelined do all[i] = requests[math.random(#requests)] end
  return table.concat(all)
end
