/** Elements as tagged templates: what JSX would be, without a build. */
import htm from 'htm'
import { h } from 'preact'

export const html = htm.bind(h)
