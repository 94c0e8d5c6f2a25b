package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// bar is a figure to reach.
type bar struct {
	what     string
	row, to  string // compared row by row
	of, ofTo func(figures) float64
	shapes   []shape
	most     float64
}

// bars are the figures to reach that are ratios of two rows.
func bars() []bar {
	alone := []shape{{64, 1}, {500, 1}}
	piped := []shape{{64, 16}, {500, 16}}
	all := append(append([]shape{}, alone...), piped...)
	cpu, p99 := cpuOf, p99Of
	return []bar{
		{"CPU of a hit, click recorded, to the bare server", nameHotHeld, nameBare, cpu, cpu, alone, 1.00},
		{"the same, clicks stored in SQLite meanwhile", nameHot, nameBare, cpu, cpu, alone, 1.00},
		{"the same, until all are stored", nameHot, nameBare, cpuStoredOf, cpu, alone, 1.00},
		{"the same, clicks stored in Postgres meanwhile", nameHotPG, nameBare, cpu, cpu, alone, 1.00},
		{"CPU of a hit, click recorded, pipelined, to the bare server", nameHotHeld, nameBare, cpu, cpu, piped, 1.30},
		{"the same, clicks stored in SQLite meanwhile", nameHot, nameBare, cpu, cpu, piped, 1.30},
		{"CPU of a hit to nginx (Zipf on both)", "zipf-held", nameNginx, cpu, cpu, alone, 1.10},
		{"the same, clicks stored in SQLite meanwhile", nameZipf, nameNginx, cpu, cpu, alone, 1.10},
		{"p99 to the bare server, click recorded", nameHotHeld, nameBare, p99, p99, []shape{{500, 1}}, 1.15},
		{"the same, clicks stored in SQLite meanwhile", nameHot, nameBare, p99, p99, []shape{{500, 1}}, 1.15},
		{"the same, clicks stored in SQLite meanwhile, Zipf", nameZipf, nameBare, p99, p99, []shape{{500, 1}}, 1.15},
		{"click recorded to not recorded, CPU", nameHotHeld, nameUnrecorded, cpu, cpu, all, 1.05},
		{"the same, clicks stored in SQLite meanwhile", nameHot, nameUnrecorded, cpu, cpu, all, 1.05},
		{"the same, clicks stored in Postgres meanwhile", nameHotPG, nameUnrecorded, cpu, cpu, all, 1.05},
		{"Zipf to one link, CPU", "zipf-held", nameHotHeld, cpu, cpu, all, 1.10},
		{"the same, clicks stored in SQLite meanwhile", nameZipf, nameHot, cpu, cpu, all, 1.10},
		{"profiles sent to not sent, CPU", "hot-profiled", nameHot, cpu, cpu, alone, 1.05},
		{"many links to 1,000, CPU, no click recorded", nameBig, nameFew, cpu, cpu, all, 1.15},
	}
}

// printBars says of each figure to reach whether it was.
func (r *report) printBars(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nratio (median of the rounds' ratios)\tshape\tto reach\tmeasured\trounds\t")
	for _, b := range bars() {
		for _, s := range b.shapes {
			row, to := r.find(b.row, s), r.find(b.to, s)
			if row == nil || to == nil {
				continue
			}
			// Both sides as rounds of one figure, so that two different figures can be compared.
			x := ratioOf(column(row.Rounds, b.of), column(to.Rounds, b.ofTo), rateOf)
			verdict := "reached"
			if x.Median > b.most {
				verdict = "not reached"
			}
			fmt.Fprintf(t, "%s\t%s\t%.2f\t%.3f\t%.3f to %.3f\t%s\n", b.what, s, b.most, x.Median, x.Low, x.High, verdict)
		}
	}
	return t.Flush()
}

func column(all []figures, of func(figures) float64) []figures {
	values := make([]figures, len(all))
	for i, f := range all {
		values[i].Rate = of(f)
	}
	return values
}
