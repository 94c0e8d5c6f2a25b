// The load of a real service on a running Carom: of 100 requests 90 redirects, 5 unknown codes, 3 reads and 2 writes of the API.
// `make loadtest` runs it with everything around it; README.md says how to run it alone.
import http from 'k6/http';
import { check, sleep } from 'k6';
import { SharedArray } from 'k6/data';
import { Counter } from 'k6/metrics';

const base = __ENV.BASE; // http://host:port
const key = __ENV.KEY; // an admin key
const unit = Number(__ENV.SECONDS || 60); // how long a scenario's steady part lasts
const bar = Number(__ENV.P99 || 0); // milliseconds; 0: no bar
const timeout = '20s'; // less than every graceful stop below, so that no request is cut off and its answer not counted

// Lines "code TAB target TAB id", the most visited link first. Strings, as each access to a shared array parses its element.
const links = new SharedArray('links', () => JSON.parse(open(__ENV.LINKS)));
// [User-Agent, Accept-Language, Referer] of real clicks; an empty one is not sent.
const visitors = new SharedArray('visitors', () => JSON.parse(open(__ENV.VISITORS)));

const ramp = Math.min(5, unit / 4);
const steps = (...targets) => targets.flatMap((target) => [{ duration: `${ramp}s`, target }, { duration: `${unit}s`, target }]);
const patient = { gracefulStop: '30s', gracefulRampDown: '30s' };
// think is the mean pause of a visitor between two requests, in seconds. Without one, 50 visitors would load a machine as much as 500.
const scenarios = {
  // A service whose visitors become more and more.
  stages: { think: 0.25, executor: 'ramping-vus', startVUs: 0, ...patient, stages: [...steps(50, 200, 500), { duration: `${ramp}s`, target: 0 }] },
  // As many requests as 500 visitors without any pause can make.
  stress: { think: 0, executor: 'constant-vus', vus: 500, duration: `${unit}s`, gracefulStop: '30s' },
  // From nothing to 500 visitors in 5 seconds.
  spike: {
    think: 0.25, executor: 'ramping-vus', startVUs: 0, ...patient,
    stages: [{ duration: '5s', target: 500 }, { duration: `${unit / 2}s`, target: 500 }, { duration: '5s', target: 0 }],
  },
  // The usual load for long.
  soak: { think: 0.25, executor: 'constant-vus', vus: 200, duration: `${unit * 10}s`, gracefulStop: '30s' },
  // Latency as visitors see it who come when they come, not when the one before them has been answered.
  arrival: {
    think: 0, executor: 'constant-arrival-rate', rate: Number(__ENV.RATE || 800), timeUnit: '1s', duration: `${unit}s`,
    preAllocatedVUs: 200, maxVUs: 500, gracefulStop: '30s',
  },
};
const name = __ENV.SCENARIO || 'stages';
if (!(name in scenarios)) throw new Error(`SCENARIO ${name} is unknown; ${Object.keys(scenarios).join(', ')} are accepted`);
const { think, ...scenario } = scenarios[name];

export const options = {
  scenarios: { [name]: scenario },
  discardResponseBodies: true,
  maxRedirects: 0,
  systemTags: ['name', 'status', 'error_code'],
  summaryTrendStats: ['count', 'avg', 'p(50)', 'p(90)', 'p(99)', 'p(99.9)', 'max'],
  thresholds: {
    http_req_failed: ['rate==0'],
    checks: ['rate==1'],
    'http_req_duration{name:redirect}': [bar > 0 ? `p(99)<=${bar}` : 'p(99)>=0'],
    // No bars: a metric's part by tag is in the summary only if a threshold names it.
    'http_req_duration{name:unknown}': ['p(99)>=0'],
    'http_req_duration{name:read}': ['p(99)>=0'],
    'http_req_duration{name:write}': ['p(99)>=0'],
  },
};

// Redirects answered by the rank of their link, 1, 2-3, 4-7 and so on, so that clicks can be compared link by link for the most
// visited and group by group for the others; and those of links that this load made itself.
const answered = Array.from({ length: Math.floor(Math.log2(links.length)) + 1 }, (_, i) => new Counter(`redirects_rank_${String(i).padStart(2, '0')}`));
const answeredOwn = new Counter('redirects_own');

const expect302 = http.expectedStatuses(302);
const expect404 = http.expectedStatuses(404);
const expect200 = http.expectedStatuses({ min: 200, max: 201 });
const apiHeaders = { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' };
const editHeaders = { ...apiHeaders, 'Content-Type': 'application/merge-patch+json' };
let own = null; // the link that this visitor made last

export default function () {
  const dice = Math.random() * 98; // a write is two requests: it, and a visit to what it wrote
  if (dice < 88) redirect();
  else if (dice < 93) unknown();
  else if (dice < 96) read();
  else write();
  if (think > 0) sleep(think * (0.5 + Math.random()));
}

// Zipf with exponent 1: the chance of rank k is ln(1 + 1/k) / ln(n + 1).
function rankOf(n) {
  return Math.min(n, Math.floor(Math.pow(n + 1, Math.random())));
}

function visit(code, tag, responseCallback) {
  const [agent, language, referrer] = visitors[Math.floor(Math.random() * visitors.length)];
  const headers = { 'User-Agent': agent };
  if (language) headers['Accept-Language'] = language;
  if (referrer) headers.Referer = referrer;
  return http.get(`${base}/${code}`, { headers, tags: { name: tag }, redirects: 0, timeout, responseCallback });
}

function redirect() {
  const rank = rankOf(links.length);
  const [code, target] = links[rank - 1].split('\t');
  const r = visit(code, 'redirect', expect302);
  if (r.status >= 300 && r.status < 400) answered[Math.floor(Math.log2(rank))].add(1);
  judge(r, 'redirect leads to its target', r.status === 302 && r.headers.Location === target, code);
}

function unknown() {
  const code = `zz${Math.random().toString(36).slice(2, 9)}zz`; // longer than the codes that Carom makes up
  const r = visit(code, 'unknown', expect404);
  judge(r, 'unknown code is not found', r.status === 404 && r.headers.Location === undefined, code);
}

function api(method, path, body, headers, tag) {
  return http.request(method, `${base}${path}`, body, { headers, tags: { name: tag }, redirects: 0, timeout, responseType: 'text', responseCallback: expect200 });
}

function read() {
  const [code, target, id] = links[rankOf(links.length) - 1].split('\t');
  const dice = Math.random();
  if (dice < 0.5) {
    const r = api('GET', `/urls/${id}`, null, apiHeaders, 'read');
    const link = r.status === 200 ? r.json() : {};
    judge(r, 'link is as it was stored', link.code === code && link.url === target, code);
  } else if (dice < 0.8) {
    const r = api('GET', `/urls/${id}/stats`, null, apiHeaders, 'read');
    judge(r, 'stats are told', r.status === 200 && r.json('clicks') >= 0, code);
  } else {
    const r = api('GET', '/urls?limit=20', null, apiHeaders, 'read');
    judge(r, 'list has its length', r.status === 200 && r.json('data').length === 20, code);
  }
}

// Makes a link or changes the one made before, and visits it at once.
function write() {
  const url = `https://www.example.org/made/${__VU}/${__ITER}`;
  const made = own !== null && Math.random() < 1 / 3 ? api('PATCH', `/urls/${own.id}`, JSON.stringify({ url }), editHeaders, 'write') :
    api('POST', '/shorten', JSON.stringify({ url }), apiHeaders, 'write');
  const link = made.status === 200 || made.status === 201 ? made.json() : {};
  const before = link.code !== undefined && own !== null && link.code === own.code ? own.url : url;
  judge(made, 'link is made or changed', link.url === url, link.code);
  if (link.code === undefined) return;
  own = { id: link.id, code: link.code, url };
  // "3/3" says that every instance serves the new target already; without that, the old one may be seen for a moment more.
  const [served, all] = (made.headers['Carom-Propagation'] || '').split('/');
  const r = visit(own.code, 'redirect', expect302);
  if (r.status >= 300 && r.status < 400) answeredOwn.add(1);
  const to = r.headers.Location;
  judge(r, 'edit is seen', r.status === 302 && (to === url || (served !== all && to === before)), own.code);
}

let told = 0;
function judge(r, what, right, code) {
  if (!check(r, { [what]: () => right }) && told++ < 3) {
    console.error(`wrong: ${what}: ${code}: status ${r.status}, Location ${r.headers.Location}, error ${r.error}, body ${String(r.body).slice(0, 200)}`);
  }
}

export function handleSummary(data) {
  return __ENV.SUMMARY ? { [__ENV.SUMMARY]: JSON.stringify(data) } : { stdout: `${JSON.stringify(data.metrics, null, 1)}\n` };
}
