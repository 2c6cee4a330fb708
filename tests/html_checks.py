"""What a validator of HTML5 would say of our pages, beyond what tidy knows: elements and attributes that exist, closed and
nested as they must be; ids that are there once; links to places that exist; headings without a gap; tables whose rows fill
the same columns. A list of complaints, empty for a good page. What is not on our pages is not known here, and a complaint.
"""
import html.parser

VOID = {'br', 'meta'}
GLOBAL = {'id', 'class', 'lang', 'tabindex', 'aria-label', 'hidden', 'title', 'role'}
# Element: attributes beside the global ones. Presentational ones (align, width, border …) are obsolete and thus not here.
HTML = {name: set() for name in
        'body br caption code div em figcaption figure h1 h2 h3 h4 head header li main nav p section span strong style summary '
        'table tbody thead title tr ul script'.split()}
HTML |= {'a': {'href'}, 'details': {'open'}, 'html': set(), 'meta': {'charset', 'name', 'content', 'http-equiv'},
         'td': {'colspan', 'rowspan'}, 'th': {'colspan', 'rowspan', 'scope'}}
PAINT = {'fill', 'stroke', 'stroke-width', 'stroke-linecap', 'stroke-linejoin', 'stroke-dasharray', 'color', 'visibility',
         'opacity', 'fill-opacity', 'shape-rendering', 'transform', 'font-family', 'font-size', 'font-weight', 'font-style', 'text-anchor',
         'onmousemove', 'onmouseout', 'onclick'}
SVG = {'svg': {'viewbox', 'xmlns', 'width', 'height', 'preserveaspectratio'}, 'defs': set(), 'g': set(),
       'circle': {'cx', 'cy', 'r'}, 'path': {'d'}, 'rect': {'x', 'y', 'width', 'height'}, 'text': {'x', 'y'},
       'tspan': {'x', 'y', 'dx', 'dy'}, 'use': {'href', 'x', 'y'}, 'polygon': {'points'}}
# What may stand in a paragraph, a heading, a summary.
PHRASING = {'a', 'br', 'code', 'em', 'span', 'strong'}
ONLY_PHRASING = {'p', 'h1', 'h2', 'h3', 'h4', 'summary', 'span', 'code', 'em', 'strong', 'a'}
INSIDE = {'li': {'ul'}, 'tr': {'thead', 'tbody', 'table'}, 'td': {'tr'}, 'th': {'tr'}, 'thead': {'table'}, 'tbody': {'table'},
          'caption': {'table'}, 'summary': {'details'}, 'figcaption': {'figure'}, 'title': {'head'}, 'meta': {'head'},
          'style': {'head'}, 'tspan': {'text'}}
ONLY = {'ul': {'li'}, 'table': {'caption', 'thead', 'tbody', 'tr'}, 'thead': {'tr'}, 'tbody': {'tr'}, 'tr': {'td', 'th'}}
XMLNS = 'http://www.w3.org/2000/svg'


class Table:
    """Columns of its rows, with cells that reach over several."""

    def __init__(self):
        self.rows, self.reaching, self.columns = 0, {}, None

    def row(self, cells):
        """`cells`: (colspan, rowspan) of each. A complaint, or None."""
        taken = {c: n for c, n in self.reaching.items() if n > 0}
        at, found = 0, set(taken)
        following = {c: n - 1 for c, n in taken.items()}
        for wide, deep in cells:
            while at in taken:
                at += 1
            for c in range(at, at + wide):
                found.add(c)
                following[c] = deep - 1
            at += wide
        self.reaching = following
        self.rows += 1
        width = len(found)
        if self.columns is None:
            self.columns = width
        if width != self.columns or not width:
            return f'row {self.rows} of a table has {width} columns instead of {self.columns}'
        return None


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.open, self.ids, self.links, self.tables, self.cells = [], [], {}, [], [], []
        self.level, self.headings, self.text = 0, 0, {}

    def complain(self, what):
        self.found.append(f'line {self.getpos()[0]}: {what}')

    def in_svg(self):
        return any(name == 'svg' for name, *_ in self.open)

    def handle_decl(self, decl):
        if decl.lower() != 'doctype html':
            self.complain(f'<!{decl}> is no HTML5')

    def check_attributes(self, name, attributes):
        known = SVG.get(name, set()) | PAINT if name == 'svg' or self.in_svg() else HTML.get(name, set())
        names = [key for key, _ in attributes]
        for key in sorted(set(names)):
            if names.count(key) > 1:
                self.complain(f'<{name}> has {key} twice')
            if key not in known and key not in GLOBAL:
                self.complain(f'<{name}> has no attribute {key}')
        values = dict(attributes)
        if 'id' in values:
            identity = values['id'] or ''
            if not identity or any(c.isspace() for c in identity):
                self.complain(f'"{identity}" is no id')
            if identity in self.ids:
                self.complain(f'id {identity} is in line {self.ids[identity]} already')
            self.ids.setdefault(identity, self.getpos()[0])
        if (values.get('href') or '').startswith('#'):
            self.links.append((self.getpos()[0], values['href'][1:]))
        elif 'href' in values:
            self.complain(f'a link that leaves the page: {values["href"]}')
        if name == 'svg' and values.get('xmlns', XMLNS) != XMLNS:
            self.complain(f'xmlns of a drawing is {values["xmlns"]}')
        if any(key.startswith('xlink:') or key.startswith('xmlns:') for key in names):
            self.complain(f'<{name}> has an attribute with a namespace')

    def check_place(self, name):
        parent = self.open[-1][0] if self.open else ''
        if name in INSIDE and parent not in INSIDE[name]:
            self.complain(f'<{name}> inside <{parent}>')
        if parent in ONLY and name not in ONLY[parent]:
            self.complain(f'<{name}> inside <{parent}>')
        if parent in ONLY_PHRASING and name not in PHRASING and not self.in_svg():
            self.complain(f'<{name}> inside <{parent}>')
        if parent == 'details' and name != 'summary' and not self.open[-1][1]:
            self.complain('<details> does not begin with <summary>')
        if self.open:
            self.open[-1][1].append(name)

    def check_heading(self, name):
        level = int(name[1])
        self.headings += level == 1
        if level > self.level + 1:
            self.complain(f'<{name}> below <h{self.level}>')
        if level == 1 and self.headings > 1:
            self.complain('a second <h1>')
        self.level = level

    def handle_starttag(self, tag, attributes):
        in_svg = tag == 'svg' or self.in_svg()
        if tag not in (SVG if in_svg else HTML):
            self.complain(f'<{tag}> is not known{" in a drawing" if in_svg else ""}')
        self.check_attributes(tag, attributes)
        self.check_place(tag)
        if tag in {'h1', 'h2', 'h3', 'h4'}:
            self.check_heading(tag)
        if tag == 'table':
            self.tables.append(Table())
        if tag == 'tr':
            self.cells.append([])
        if tag in {'td', 'th'} and self.cells:
            values = dict(attributes)
            self.cells[-1].append((int(values.get('colspan') or 1), int(values.get('rowspan') or 1)))
        if tag not in VOID:
            self.open.append((tag, [], self.getpos()[0]))

    def handle_startendtag(self, tag, attributes):
        if not self.in_svg() and tag not in VOID:
            self.complain(f'<{tag}/> does not end here')
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open[-1][0] != tag:
            self.complain(f'</{tag}> closes <{self.open[-1][0] if self.open else ""}>')
        names = [name for name, *_ in self.open]
        if tag not in names:
            return
        while self.open.pop()[0] != tag:
            pass
        if tag == 'tr' and self.tables:
            complaint = self.tables[-1].row(self.cells.pop())
            if complaint:
                self.complain(complaint)
        if tag == 'table' and not self.tables.pop().rows:
            self.complain('a table without rows')

    def handle_data(self, data):
        if self.open:
            self.text[self.open[-1][0]] = self.text.get(self.open[-1][0], '') + data
        if data.strip() and self.open and self.open[-1][0] in ONLY:
            self.complain(f'text inside <{self.open[-1][0]}>: {data.strip()[:40]}')
        for c in data:
            if ord(c) < 32 and c not in '\n\t' or 0x7f <= ord(c) < 0xa0:
                self.complain(f'a control character {ord(c):#x}')

    def finish(self):
        self.close()
        for name, *_, line in self.open:
            self.found.append(f'line {line}: <{name}> is never closed')
        for line, target in self.links:
            if target not in self.ids:
                self.found.append(f'line {line}: a link to #{target}, which is nowhere')
        if not self.text.get('title', '').strip():
            self.found.append('no title')
        return self.found


def complaints(text):
    page = Page()
    if not text.lower().startswith('<!doctype html>'):
        page.found.append('no <!DOCTYPE html>')
    page.feed(text)
    return page.finish()


def frame(body):
    return f'<!DOCTYPE html>\n<html lang="en"><head><title>t</title></head><body><h1>t</h1>{body}</body></html>\n'


# A mistake each, and a word of the complaint.
PLANTED = [
    (frame('<p id="a"></p><p id="a"></p>'), 'already'),
    (frame('<p id="a b"></p>'), 'no id'),
    (frame('<a href="#b">x</a>'), 'nowhere'),
    (frame('<a href="http://example.org">x</a>'), 'leaves the page'),
    (frame('<h3>x</h3>'), 'below <h1>'),
    (frame('<h1>x</h1>'), 'second <h1>'),
    (frame('<table><tr><th>a</th><th>b</th></tr><tr><td>1</td></tr></table>'), '1 columns instead of 2'),
    (frame('<table><tr><td rowspan="2">a</td><td>b</td></tr><tr><td>1</td><td>2</td></tr></table>'), '3 columns instead of 2'),
    (frame('<table><tr><td colspan="2">a</td></tr><tr><td>1</td></tr></table>'), '1 columns instead of 2'),
    (frame('<table></table>'), 'without rows'),
    (frame('<table><tr></tr></table>'), '0 columns'),
    (frame('<table><tr><td align="right">a</td></tr></table>'), 'no attribute align'),
    (frame('<center>x</center>'), 'not known'),
    (frame('<p class="a" class="b">x</p>'), 'class twice'),
    (frame('<p><ul><li>x</li></ul></p>'), '<ul> inside <p>'),
    (frame('<ul>x</ul>'), 'text inside <ul>'),
    (frame('<details><p>x</p></details>'), 'begin with <summary>'),
    (frame('<div>x'), '</body> closes <div>'),
    (frame('<div/>'), 'does not end here'),
    (frame('<svg xmlns="http://www.w3.org/1999/svg"></svg>'), 'xmlns'),
    (frame('<svg><use xlink:href="#a"/></svg>'), 'namespace'),
    (frame('<svg><div></div></svg>'), 'not known in a drawing'),
    (frame('<p>\x01</p>'), 'control character'),
    (frame('').replace('<title>t</title>', ''), 'no title'),
    (frame('').replace('<!DOCTYPE html>', ''), 'DOCTYPE'),
]
GOOD = frame('<h2 id="a">x</h2><table><tr><td rowspan="2">a</td><td>b</td></tr><tr><td>1</td></tr></table><a href="#a">x</a>'
             '<details><summary>x</summary><p>y</p></details><svg viewBox="0 0 1 1"><g id="b"><use href="#b"/></g></svg>')


def selftest():
    """Mistakes that are not found, and a good page that is not let through."""
    missed = [f'not found: {word} in {text}' for text, word in PLANTED if not any(word in c for c in complaints(text))]
    return missed + [f'a good page: {c}' for c in complaints(GOOD)]
