/** https://tyk.io/docs/api-management/plugins/javascript */
import type { AskingSetup, Destination } from './guide.ts'

const plugin = ({
  limiterUrl,
  source,
  token,
}: Destination) => `var quotacast = new TykJS.TykMiddleware.NewMiddleware({});
// What to do while nobody answers: true lets calls pass.
var PASSES_WHEN_AWAY = true;
var PASSED_ON = ["Content-Type", "Retry-After", "Ratelimit", "Ratelimit-Policy", "X-Quotacast-Denied"];

quotacast.NewProcessRequest(function (request, session) {
  var headers = {
    "X-Quotacast-Token": "${token}",
    "X-Quotacast-Gateway": "${source}",
    "X-Forwarded-Uri": request.URL
  };
  if (session.alias) headers["X-Quotacast-Consumer"] = session.alias;
  ["Authorization", "X-Api-Key"].forEach(function (name) {
    if (request.Headers[name]) headers[name] = request.Headers[name][0];
  });
  var answer = null;
  try {
    answer = JSON.parse(TykMakeHttpRequest(JSON.stringify({
      Method: "GET", Domain: "${limiterUrl}", Resource: "/v1/auth", Headers: headers, Body: "", FormData: {}
    })));
  } catch (problem) {
    log("the limiter is away: " + problem);
  }
  if (answer === null || answer.Code === 0 || answer.Code >= 500) {
    if (!PASSES_WHEN_AWAY) request.ReturnOverrides.ResponseCode = 503;
  } else if (answer.Code !== 200) {
    request.ReturnOverrides.ResponseCode = answer.Code;
    request.ReturnOverrides.ResponseBody = answer.Body;
    request.ReturnOverrides.OverrideError = true;
    request.ReturnOverrides.ResponseHeaders = {};
    PASSED_ON.forEach(function (name) {
      var values = answer.Headers[name];
      if (values) request.ReturnOverrides.ResponseHeaders[name] = values[0];
    });
  }
  // Tyk saves what is returned here as the metadata of the key.
  return quotacast.ReturnData(request, session.meta_data);
});`

export const tykAsks: readonly AskingSetup[] = [
  {
    title: 'With a plugin in JavaScript',
    run: { by: 'nobody' },
    steps: [
      { text: 'Write this into `middleware/quotacast.js`.', snippet: { language: 'javascript', of: plugin } },
      {
        text: 'Set `"enable_jsvm": true` in `tyk.conf`, and put this into the definition of the API. Behind the check of the key the session is known; `alias` is the consumer that the log names.',
        snippet: {
          language: 'json',
          of: () => `"custom_middleware": {
  "driver": "otto",
  "post": [{ "name": "quotacast", "path": "./middleware/quotacast.js", "require_session": true }]
}`,
        },
      },
      {
        text: 'Records of the pump carry no id of the decision, so that what is used is the larger of what was asked and what was logged, never both.',
      },
    ],
  },
]
