import { expect, test } from 'vitest'
import { dropsIn } from '../../../collector/normalize/drops.ts'

test.each([
  ['{"request":{"headers":{"apikey":"raw","host":"h"}}}', ['request.headers.apikey']],
  ['{"headers":{"authorization":["Bearer abc"]}}', ['headers.authorization']],
  ['{"messages":[{"content":"said"}],"model":"m"}', ['messages (prompt or answer)']],
  ['{"uri":"/v1?api_key=raw&x=1"}', ['?api_key=']],
  ['{"note":"sk-proj-abcdefghijklmnop1234"}', ['note']],
  ['{"items":[{"token":"a"},{"token":"b"}]}', ['items[].token']],
  ['{"apikey":"","token":"-","n":1}', []],
  ['<190>Nov 20 20:19:05 host gw: {"apikey":"raw"}', ['apikey']],
  ['"GET /v1?key=raw&q=1 HTTP/1.1" 200', ['?key=']],
  ['X-Api-Key: raw', ['(in the text)']],
  ['"GET /v1?monkey=1 HTTP/1.1" 200', []],
])('%s', (input, places) => {
  expect(dropsIn(input)).toEqual(places)
})
