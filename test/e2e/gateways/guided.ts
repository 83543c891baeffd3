/** What `quotacast sources show` tells to paste, and the few words of it that a test's own paths take the place of. */
import { parse } from 'yaml'
import type { Destination } from '../../../deploy/gateways/guide.ts'
import { GUIDES } from '../../../deploy/gateways/guides.ts'

export interface Guided {
  /** What is pasted into the gateway, in the order of the steps. */
  snippets: readonly string[]
  /** What is pasted into the config of Quotacast. */
  config: { sources?: Record<string, object> }
}

/** What the set-ups of a guide whose titles begin so tell to paste, with a folder in the place of another. */
export function guided(
  guide: string,
  titles: readonly string[],
  to: Destination,
  folder: { was: string; is: string } | null,
): Guided {
  const found = GUIDES.find(({ name }) => name === guide)
  const setups = [...(found?.setups ?? []), ...(found?.asks ?? [])]
  const written = titles.flatMap(title => {
    const setup = setups.find(candidate => candidate.title.startsWith(title))
    if (setup === undefined) throw new Error(`the guide to ${guide} has no set-up ${title}`)
    return setup.steps.flatMap(({ snippet }) => snippet?.of(to) ?? [])
  })
  if (folder !== null && !written.some(text => text.includes(folder.was))) {
    throw new Error(`the guide to ${guide} has no ${folder.was}`)
  }
  const texts = folder === null ? written : written.map(text => text.replaceAll(folder.was, folder.is))
  const isConfig = (text: string) => text.startsWith('sources:\n')
  return {
    snippets: texts.filter(text => !isConfig(text)),
    config: Object.assign({}, ...texts.filter(isConfig).map(text => parse(text))),
  }
}

/** With a text in the place of another, which has to be there. */
export function replaced(text: string, what: string, by: string): string {
  if (!text.includes(what)) throw new Error(`there is no ${what} in:\n${text}`)
  return text.replaceAll(what, by)
}
