/** What all our clients of Kafka have in common: whom they ask, how they prove who they are, and zstd. */
import { readFile } from 'node:fs/promises'
import kafkajs, { type KafkaConfig, type SASLOptions } from 'kafkajs'
import type { Logger } from 'pino'
import { LogError } from './call-log.ts'
import { zstdCodec } from './kafka-codec.ts'
import type { KafkaLogOptions } from './kafka-options.ts'

// It is CommonJS, and Node finds only some of its names.
const { CompressionCodecs, CompressionTypes, logLevel } = kafkajs

const CONNECT_MS = 5_000
const REQUEST_MS = 15_000
CompressionCodecs[CompressionTypes.ZSTD] = () => zstdCodec

/** Throws `LogError` `LOG_UNAVAILABLE` when a file of `tls` cannot be read. */
export async function kafkaConfig(
  { brokers, clientId, tls, sasl }: Pick<KafkaLogOptions, 'brokers' | 'clientId' | 'tls' | 'sasl'>,
  log: Logger,
): Promise<KafkaConfig> {
  const config: KafkaConfig = {
    brokers: [...brokers],
    clientId,
    connectionTimeout: CONNECT_MS,
    requestTimeout: REQUEST_MS,
    // What kafkajs calls an error is mostly its everyday: what matters is said by those who use it.
    logLevel: log.isLevelEnabled('debug') ? logLevel.INFO : logLevel.NOTHING,
    logCreator: () => entry => log.debug({ ...entry.log }, 'kafkajs'),
  }
  if (tls) {
    const [ca, cert, key] = await Promise.all([
      readPem('ca', tls.ca),
      readPem('cert', tls.cert),
      readPem('key', tls.key),
    ])
    const given = Object.entries({ ca, cert, key, servername: tls.serverName }).filter(
      ([, value]) => value !== undefined,
    )
    config.ssl = Object.fromEntries(given)
  }
  if (sasl) config.sasl = { ...sasl } as SASLOptions
  return config
}

async function readPem(name: string, pemOrPath: string | undefined): Promise<string | undefined> {
  if (pemOrPath === undefined || pemOrPath.includes('-----BEGIN')) return pemOrPath
  return readFile(pemOrPath, 'utf8').catch((error: NodeJS.ErrnoException) => {
    // What is no path may be the key itself, and the error would quote it.
    const text = `tls of Kafka: ${name} is neither PEM nor a file that can be read (${error.code})`
    throw new LogError('LOG_UNAVAILABLE', text)
  })
}
