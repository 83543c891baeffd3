import { expect, test } from 'vitest'
import { runCli } from '../../e2e/quotacast.ts'

test('what `show` prints goes to the address and under the name that were given', async () => {
  const args = ['sources', 'show', 'canonical', '--url', 'https://logs.example:8443', '--token', 'qc_abc']
  const { code, stdout } = await runCli(args)
  expect(code).toBe(0)
  expect(stdout).toContain('https://logs.example:8443/v1/sources/canonical')
  expect(stdout).toContain('Bearer qc_abc')
  expect(stdout).not.toContain('QUOTACAST_TOKEN')
})

test('a source of the config is listed, and sent in the way of its dialect under its own name', async () => {
  const config = ['--set', 'sources.my-shop.dialect=canonical']
  expect((await runCli(['sources', ...config])).stdout).toMatch(/^my-shop +of the config +http\n[\s\S]*\ncanonical /)
  expect((await runCli(['sources', 'show', 'my-shop', ...config])).stdout).toContain('/v1/sources/my-shop')
})

test('a name that there is not is told what there is', async () => {
  const { code, stderr } = await runCli(['sources', 'show', 'nothing'])
  expect(code).toBe(2)
  expect(stderr).toMatch(/there is no source "nothing"; guides: .*canonical/)
})

test('what has to be filled in is said: the token, the tenant of logs that have none, where Quotacast has to listen', async () => {
  const nginx = (await runCli(['sources', 'show', 'nginx', '--set', 'limiter.port=8012'])).stdout
  expect(nginx).toContain('token create --name nginx --scopes ingest,check')
  expect(nginx).toContain('add `tenant: acme` to the source `nginx` of the config, and `--tenant acme` where')
  expect(nginx).toContain('`collector: { host: 0.0.0.0 }` and `limiter: { host: 0.0.0.0 }`.')
  const apache = (await runCli(['sources', 'show', 'apache'])).stdout
  expect(apache).toContain('add `tenant: acme` to the source `apache` of the config; or')
  expect(apache).not.toContain('limiter: {')
  const { stdout: envoy } = await runCli(['sources', 'show', 'envoy'])
  expect(envoy).toContain('`collector: { host: 0.0.0.0, grpc: { host: 0.0.0.0 } }` and `limiter: { grpc: {')
  expect(envoy).not.toContain('tenant: acme')
  const where = ['--url', 'https://logs.example', '--limiter', 'https://limits.example', '--token', 'qc_abc']
  expect((await runCli(['sources', 'show', 'kong', ...where])).stdout).not.toMatch(/0\.0\.0\.0 \}|stands for/)
})
