// A short load for the topology of docker-compose.yml, within the limits that Carom has by default: makes 200 links in one request,
// visits them as people do (few links get most visits), and checks each answer. Where the load should be heavier, and each click
// counted afterwards, `make loadtest` is the tool.
//
//   docker compose --profile load run --rm k6
//   BASE=http://127.0.0.1:8080 KEY=... k6 run deploy/k6/visits.js
import http from 'k6/http';
import { check, fail, sleep } from 'k6';

const base = __ENV.BASE || 'http://127.0.0.1:8080';
const key = __ENV.KEY || (__ENV.KEY_FILE ? open(__ENV.KEY_FILE).trim() : fail('set KEY or KEY_FILE to an admin key'));
const count = 200;
const target = (code) => `https://example.com/${code}`;

export const options = {
  vus: Number(__ENV.VUS || 20),
  duration: __ENV.DURATION || '30s',
  gracefulStop: '15s',
  maxRedirects: 0,
  discardResponseBodies: true,
  thresholds: { checks: ['rate==1'], 'http_req_failed{name:visit}': ['rate==0'] },
};

export function setup() {
  const run = Date.now().toString(36); // each run has links of its own
  const codes = Array.from({ length: count }, (_, i) => `k6-${run}-${i}`);
  const lines = codes.map((code) => JSON.stringify({ url: target(code), code })).join('\n');
  const made = http.post(`${base}/shorten`, lines, {
    headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/x-ndjson' },
    responseType: 'text',
  });
  if (made.status !== 200 && made.status !== 201) fail(`making links answered ${made.status}: ${made.body}`);
  return codes;
}

export default function visit(codes) {
  const code = codes[Math.floor(count * Math.random() ** 4)];
  const answer = http.get(`${base}/${code}`, { tags: { name: 'visit' } });
  check(answer, { 'redirects to the target': (r) => r.status === 302 && r.headers.Location === target(code) });
  sleep(0.05 + 0.1 * Math.random());
}
