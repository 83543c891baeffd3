/** Whether a media query holds, as the state of a component. */
import { useEffect, useState } from 'preact/hooks'

function useMedia(media: string): boolean {
  const [query] = useState(() => matchMedia(media))
  const [holds, setHolds] = useState(query.matches)
  useEffect(() => {
    const follow = () => setHolds(query.matches)
    query.addEventListener('change', follow)
    return () => query.removeEventListener('change', follow)
  }, [query])
  return holds
}

/** As narrow as a phone; the style has the same bound. */
export const useIsNarrow = (): boolean => useMedia('(max-width: 720px)')

export const useIsDark = (): boolean => useMedia('(prefers-color-scheme: dark)')
