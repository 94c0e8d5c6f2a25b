package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// line is one series of a plot.
type line struct {
	name   string
	values []float64 // a second each
	color  int       // 1 to 5, a colour of the page's style
}

// plot is a small picture of one or more lines over time.
type plot struct {
	title, unit string
	lines       []line
	mean        bool // where a point stands for several seconds, it is their mean; else the highest of them
}

// The picture's measures, in its own units.
const (
	plotWidth, plotHeight  = 380, 170
	plotLeft, plotRight    = 46, 8
	plotTop, plotBottom    = 8, 22
	plotPoints             = 240 // more seconds than this are joined
	plotTicksY, plotTicksX = 4, 6
)

// svg draws the plot.
func (p *plot) svg() template.HTML {
	seconds, top := 1, 0.0
	for _, l := range p.lines {
		seconds = max(seconds, len(l.values))
	}
	step := (seconds + plotPoints - 1) / plotPoints
	lines := make([][]float64, len(p.lines))
	for i, l := range p.lines {
		lines[i] = join(l.values, step, p.mean)
		for _, v := range lines[i] {
			if v > top {
				top = v
			}
		}
	}
	tick := niceStep(top, plotTicksY)
	top = max(tick, math.Ceil(top/tick)*tick)
	x := func(second float64) float64 {
		return plotLeft + second/float64(max(1, seconds-1))*(plotWidth-plotLeft-plotRight)
	}
	y := func(v float64) float64 { return plotHeight - plotBottom - v/top*(plotHeight-plotTop-plotBottom) }

	var b strings.Builder
	fmt.Fprintf(&b, `<figure><figcaption>%s <span>%s</span>`, html.EscapeString(p.title), html.EscapeString(p.unit))
	if len(p.lines) > 1 {
		b.WriteString(`<br>`)
		for _, l := range p.lines {
			fmt.Fprintf(&b, `<i class="c%d"></i>%s `, l.color, html.EscapeString(l.name))
		}
	}
	fmt.Fprintf(&b, `</figcaption><svg viewBox="0 0 %d %d" role="img" aria-label="%s over time">`, plotWidth, plotHeight, html.EscapeString(p.title))
	for v := 0.0; v <= top*1.0001; v += tick {
		fmt.Fprintf(&b, `<path class="grid" d="M%d %.1fH%d"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`, plotLeft, y(v), plotWidth-plotRight, plotLeft-5, y(v)+3.5, short(v, tick))
	}
	tickX := niceStep(float64(seconds), plotTicksX)
	for s := 0.0; s < float64(seconds); s += tickX {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%s s</text>`, x(s), plotHeight-7, short(s, tickX))
	}
	for i, l := range p.lines {
		fmt.Fprintf(&b, `<path class="line c%d" d="%s"><title>%s</title></path>`, l.color, path(lines[i], step, x, y), html.EscapeString(l.name))
	}
	b.WriteString(`</svg></figure>`)
	return template.HTML(b.String()) //nolint:gosec // made of numbers, of names that are escaped above, and of this file's constants
}

// path is a line's path: a gap ends a stroke, and the next point begins another one.
func path(values []float64, step int, x, y func(float64) float64) string {
	var b strings.Builder
	pen := false
	for i, v := range values {
		if math.IsNaN(v) {
			pen = false
			continue
		}
		verb := 'M'
		if pen {
			verb = 'L'
		}
		pen = true
		fmt.Fprintf(&b, "%c%.1f %.1f", verb, x(float64(i*step)), y(v))
	}
	return b.String()
}

// join makes one value of each step values: their mean or the highest. Gaps are left out.
func join(values []float64, step int, mean bool) []float64 {
	if step <= 1 {
		return values
	}
	var joined []float64
	for from := 0; from < len(values); from += step {
		sum, top, n := 0.0, math.NaN(), 0
		for _, v := range values[from:min(from+step, len(values))] {
			if math.IsNaN(v) {
				continue
			}
			sum, n = sum+v, n+1
			if n == 1 || v > top {
				top = v
			}
		}
		switch {
		case n > 0 && mean:
			joined = append(joined, sum/float64(n))
		default:
			joined = append(joined, top)
		}
	}
	return joined
}

// niceStep is 1, 2 or 5 times a power of ten, so that about n steps reach top.
func niceStep(top float64, n int) float64 {
	if top <= 0 {
		return 1
	}
	rough := top / float64(n)
	power := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= rough*0.999 {
			return m * power
		}
	}
	return 10 * power
}

// short writes a tick's value: 1500 as 1.5k, and as many decimals as the step between ticks needs.
func short(v, step float64) string {
	if step >= 1000 && v > 0 {
		return strconv.FormatFloat(v/1000, 'f', -1, 64) + "k"
	}
	decimals := 0
	if step < 1 {
		decimals = int(math.Ceil(-math.Log10(step) - 1e-9))
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}
