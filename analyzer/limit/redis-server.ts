/** Oldest Redis that has what the scripts use, and that they are tested with. */
const MAJOR_VERSION_MIN = 7

/** What `INFO` says. */
export interface RedisServerInfo {
  runId: string
  /** Why this server cannot hold limits, or `null`. */
  refusal: string | null
}

/** Pure. `text` is what the command `INFO` answers. */
export function parseServerInfo(text: string): RedisServerInfo {
  const fields = new Map<string, string>()
  for (const line of text.split(/\r?\n/)) {
    const at = line.indexOf(':')
    if (at > 0) fields.set(line.slice(0, at), line.slice(at + 1))
  }
  return { runId: fields.get('run_id') ?? '', refusal: refusalOf(fields) }
}

function refusalOf(fields: ReadonlyMap<string, string>): string | null {
  const version = fields.get('redis_version') ?? 'unknown'
  if (Number.parseInt(version, 10) < MAJOR_VERSION_MIN) {
    return `Redis ${version} is too old: limits need Redis ${MAJOR_VERSION_MIN} or newer`
  }
  if (fields.get('redis_mode') === 'cluster' || fields.get('cluster_enabled') === '1') {
    return 'Redis Cluster cannot hold limits: a decision spends from all of its buckets or from none, and there they lie on different nodes; give the URL of one primary without cluster mode'
  }
  if (fields.get('role') === 'slave') return 'this Redis is a replica; give the URL of the primary'
  const policy = fields.get('maxmemory_policy') ?? 'noeviction'
  const isBounded = (fields.get('maxmemory') ?? '0') !== '0'
  if (isBounded && policy !== 'noeviction') {
    return `Redis has maxmemory-policy ${policy}, and would forget what was used when its memory is full; set it to noeviction`
  }
  return null
}
