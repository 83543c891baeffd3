/**
 * Whether the roles of a container live: `node deploy/health.ts PORT …` asks each port for `/healthz`. It loads nothing
 * of ours, for it runs every few seconds. That a role lives does not depend on others: one that cannot do its work says
 * so in `/readyz`, and is not mended by a restart.
 */
const TIMEOUT_MS = 3_000

const ports = process.argv.slice(2)
const problems = await Promise.all(
  ports.map(async port => {
    try {
      const { ok, status } = await fetch(`http://127.0.0.1:${port}/healthz`, {
        signal: AbortSignal.timeout(TIMEOUT_MS),
      })
      return ok ? [] : [`port ${port} answers ${status}`]
    } catch {
      return [`port ${port} does not answer`]
    }
  }),
)
const reasons = ports.length === 0 ? ['which ports? node deploy/health.ts PORT …'] : problems.flat()
for (const reason of reasons) process.stderr.write(`${reason}\n`)
process.exitCode = reasons.length === 0 ? 0 : 1
