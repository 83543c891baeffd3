import { describe, expect, test } from 'vitest'
import { createSources, SourceError, type SourceOptions } from '../../../collector/receive/sources.ts'

const mappings = { plain: { format: 'jsonl' as const, fields: { startedAtMs: { from: 'at', time: 'unix_ms' } } } }
const source = (more: Partial<SourceOptions[string]> = {}): SourceOptions[string] => ({
  timezone: 'UTC',
  receive: { kind: 'http' },
  ...more,
})

describe('a source', () => {
  test('reads the dialect or mapping that it names, else that of its own name', () => {
    const { find } = createSources({ edge: source({ dialect: 'plain' }), kong: source({ tenant: 'acme' }) }, mappings)
    expect(find('edge')).toMatchObject({ gateway: 'edge', tenant: null, dialect: { name: 'plain' } })
    expect(find('kong')).toMatchObject({ gateway: 'kong', tenant: 'acme', dialect: { name: 'kong' } })
  })

  test('need not be configured to be a dialect or a mapping', () => {
    const { find, names } = createSources({ edge: source({ dialect: 'kong' }) }, mappings)
    expect(find('nginx')).toMatchObject({ name: 'nginx', gateway: 'nginx', timezone: 'UTC' })
    expect(find('plain')).toMatchObject({ name: 'plain' })
    expect(find('other')).toBeUndefined()
    expect(names[0]).toBe('edge')
    expect(names).toContain('plain')
  })

  test('that makes no sense is told of with all others', () => {
    const options = {
      one: source({ timezone: 'Europe/Atlantis' }),
      two: source({ dialect: 'konk' }),
      three: source({ dialect: 'kong', timezone: '' }),
    }
    const problems = (() => {
      try {
        return createSources(options, mappings).names
      } catch (error) {
        return error instanceof SourceError ? error.problems : []
      }
    })()
    expect(problems).toEqual([
      expect.stringMatching(/^sources\.one\.dialect: there is no dialect or mapping one, only .*kong/),
      'sources.one.timezone: is not a time zone: Europe/Atlantis',
      expect.stringMatching(/^sources\.two\.dialect: .*konk/),
      'sources.three.timezone: is not a time zone: ',
    ])
  })
})
