/**
 * What changes at run time, folded from the control log into memory. Every role folds all of it, in the order of the
 * log: of two changes that expect the same version the first one wins, everywhere alike. What a snapshot in the log holds
 * is taken from it, so that a start costs as much as there is, not as much as there ever was.
 */
import { createHash, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto'
import type { Logger } from 'pino'
import type { CallLog } from '../../collector/log/call-log.ts'
import type { ControlChange, ControlKind } from '../../collector/log/control-change.ts'
import type { Principal, Scope } from '../../collector/principal.ts'
import type { QuotaOptions } from '../policy/quota-options.ts'
import { ControlError } from './control-error.ts'
import { type HeldChange, startFold, type Wish } from './fold.ts'
import type { Held } from './held.ts'
import { type QuotaRecording, startQuotaRecording } from './quota-recording.ts'
import { type SnapshotWriting, type SnapshotWritingDeps, startSnapshotWriting } from './snapshot-writing.ts'
import { isTokenEntry, type TokenEntry, toPrincipal } from './token.ts'

const TOKEN_BYTES = 32
/** Tells our tokens from others in a leak scan. */
const TOKEN_PREFIX = 'qc_'

export interface Control {
  /** The caller whose token this is, or `null`. 1 µs. */
  verifyToken(token: string): Principal | null
  tokens(): TokenEntry[]
  /** Makes a token and answers it, the only time that it can be seen. Throws `ControlError`, `LogError`. */
  createToken(wish: { name: string; scopes: readonly Scope[]; tenant: string | null; by: string }): Promise<string>
  /** Throws `ControlError` when there is no such token. */
  revokeToken(wish: { name: string; by: string; reason: string | null }): Promise<void>
  /** Records the quotas of the config as changes where they differ from the last ones; tries until the log takes it. */
  recordQuotas(quotas: readonly QuotaOptions[]): QuotaRecording
  /** Keeps the control log short: writes a snapshot now and then, for the writer of the store to drop what is before it. */
  writeSnapshots(options?: Pick<SnapshotWritingDeps, 'checkMs'>): SnapshotWriting
  /** What holds under a kind and a key, and the version that a change of it must expect. */
  current(kind: ControlKind, key: string): Held
  keys(kind: ControlKind): string[]
  /** Appends a change and resolves when it is folded. Throws `ControlError` `VERSION_CONFLICT` when it lost. */
  change(wish: Wish): Promise<void>
  /** Why what is known may be old, or `null`. */
  unavailable(): string | null
  close(): Promise<void>
}

export interface ControlDeps {
  log: CallLog
  /** Is told of every change that holds, in order, and of what a snapshot changes. */
  onChange?: (change: HeldChange) => void
  logger: Logger
  now?: () => number
}

/** Resolves when all changes so far are folded, or the log turned out to be away: then they follow as soon as it is there. */
export async function openControl(deps: ControlDeps): Promise<Control> {
  const { log, logger, now = Date.now } = deps
  const byHash = new Map<string, TokenEntry>()
  const fold = await startFold({
    log,
    logger,
    onChange(change) {
      if (change.kind === 'token') foldToken(byHash, change)
      deps.onChange?.(change)
    },
  })

  const change = async (wish: Wish) => {
    const { kind, key } = wish
    const entry = toChange(wish, now())
    const folded = fold.waitFor(entry.changeId)
    try {
      await log.append('control', [{ key: `${kind}:${key}`, value: JSON.stringify(entry) }])
    } catch (error) {
      folded.cancel()
      throw error
    }
    await fold.refresh()
    if ((await folded.outcome) === 'lost') {
      throw new ControlError('VERSION_CONFLICT', `${kind} ${key} was changed by somebody else meanwhile`)
    }
  }

  return {
    change,
    current: fold.current,
    keys: fold.keys,
    verifyToken(token) {
      const hash = hashOf(token)
      const entry = byHash.get(hash)
      if (entry === undefined || !timingSafeEqual(Buffer.from(entry.sha256), Buffer.from(hash))) return null
      return toPrincipal(entry)
    },
    tokens: () => [...byHash.values()],
    async createToken({ name, scopes, tenant, by }) {
      const current = fold.current('token', name)
      if (current.value !== null) throw new ControlError('ALREADY_EXISTS', `there is a token ${name}`)
      const token = TOKEN_PREFIX + randomBytes(TOKEN_BYTES).toString('base64url')
      const value: unknown = { name, scopes: [...scopes], tenant, sha256: hashOf(token), createdAtMs: now() }
      if (!isTokenEntry(value)) {
        throw new ControlError(
          'VALUE_INVALID',
          'a token has scopes, and a name of letters, digits, dots, dashes, underscores',
        )
      }
      await change({ kind: 'token', key: name, version: current.version, value, by, reason: null })
      return token
    },
    async revokeToken({ name, by, reason }) {
      const current = fold.current('token', name)
      if (current.value === null) throw new ControlError('NOT_FOUND', `there is no token ${name}`)
      await change({ kind: 'token', key: name, version: current.version, value: null, by, reason })
    },
    recordQuotas: quotas => startQuotaRecording({ quotas, fold, change, logger }),
    writeSnapshots: options => startSnapshotWriting({ fold, log, logger, ...options }),
    unavailable: fold.unavailable,
    close: fold.close,
  }
}

const toChange = ({ version, ...wish }: Wish, atMs: number): ControlChange => ({
  ...wish,
  changeId: randomUUID(),
  atMs,
  expectedVersion: version,
  version: version + 1,
})

function foldToken(byHash: Map<string, TokenEntry>, { key, value }: HeldChange): void {
  for (const [hash, entry] of byHash) if (entry.name === key) byHash.delete(hash)
  if (isTokenEntry(value)) byHash.set(value.sha256, value)
}

const hashOf = (token: string) => createHash('sha256').update(token).digest('hex')
