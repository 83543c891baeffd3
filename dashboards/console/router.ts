/** Which page is shown: the fragment of the address, so that every view can be linked to and the server knows one page. */
import { useEffect, useState } from 'preact/hooks'
import { queryOf } from './api.ts'

export interface Route {
  page: string
  parameters: Readonly<Record<string, string>>
}

/** `#/subject?quota=q` is the page `subject` with a parameter; no fragment is the page ''. */
export function parseRoute(fragment: string): Route {
  const [path = '', query = ''] = fragment.replace(/^#?\/?/, '').split('?', 2)
  return { page: path, parameters: Object.fromEntries(new URLSearchParams(query)) }
}

export function linkTo(page: string, parameters: Readonly<Record<string, string>> = {}): string {
  const query = queryOf(parameters, true)
  return `#/${page}${query === '' ? '' : `?${query}`}`
}

/** Where the subject of a quota is shown. Dimensions are set apart, as one of them may be called like a parameter. */
export const subjectLink = (quota: string, subject: Readonly<Record<string, string>>): string =>
  linkTo('subject', {
    quota,
    ...Object.fromEntries(Object.entries(subject).map(([name, value]) => [`by.${name}`, value])),
  })

/** The quota and the subject of such a link. */
export function subjectOf({ parameters }: Route): { quota: string; subject: Record<string, string> } {
  const subject = Object.entries(parameters).flatMap(([name, value]) =>
    name.startsWith('by.') ? [[name.slice('by.'.length), value]] : [],
  )
  return { quota: parameters.quota ?? '', subject: Object.fromEntries(subject) }
}

export function useRoute(): Route {
  const [route, setRoute] = useState(() => parseRoute(location.hash))
  useEffect(() => {
    const follow = () => setRoute(parseRoute(location.hash))
    addEventListener('hashchange', follow)
    return () => removeEventListener('hashchange', follow)
  }, [])
  return route
}

/** What a page's reader chose: it stays in the address, so that going back and reloading find it again. */
export function useParameters(route: Route) {
  const [chosen, setChosen] = useState(route.parameters)
  useEffect(() => setChosen(route.parameters), [route])
  const choose = (part: Route['parameters']) => {
    const parameters = { ...chosen, ...part }
    setChosen(parameters)
    const stated = Object.entries(parameters).filter(([, value]) => value !== '')
    history.replaceState(null, '', linkTo(route.page, Object.fromEntries(stated)))
  }
  return [chosen, choose] as const
}
