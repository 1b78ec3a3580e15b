// Writes ../unicode_table.cc: the primary collation weights of the root collation of CLDR 23 (UCA 6.2.0), which
// vindexes unicode_loose_md5 and unicode_loose_xxhash hash. The weights are asked from golang.org/x/text/collate, whose
// data they are; nothing of its code is used.
//
//	go run . > ../unicode_table.cc     writes the table
//	go run . -check 3000000            compares this file's model of the algorithm, which unicode_weights.cc follows,
//	                                   with the library on that many random strings
//
// It must not be run again with other data: rows were placed with these weights.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"sort"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/collate"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"
)

var collator = collate.New(language.Und, collate.Loose)
var buffer collate.Buffer

// The primary weights of a string: two bytes each up to 7fff, three with the top bit set above.
func key(s string) []byte {
	buffer.Reset()
	return bytes.Clone(collator.KeyFromString(&buffer, s))
}

func weights(k []byte) []uint32 {
	var out []uint32
	for len(k) > 0 {
		if k[0] < 0x80 {
			out = append(out, uint32(k[0])<<8|uint32(k[1]))
			k = k[2:]
		} else {
			out = append(out, uint32(k[0])<<16|uint32(k[1])<<8|uint32(k[2]))
			k = k[3:]
		}
	}
	return out
}

// First and last combining class of a character, as far as it takes part in reordering: characters newer than the
// weights (they have implicit ones) do not.
func classes(r rune) (uint8, uint8) {
	if c, ok := classCache[r]; ok {
		return c[0], c[1]
	}
	first, last := findClasses(r)
	classCache[r] = [2]uint8{first, last}
	return first, last
}

var classCache = map[rune][2]uint8{}

func findClasses(r rune) (uint8, uint8) {
	if w := weights(key(string(r))); len(w) > 0 && w[0] >= 0x8000 {
		return 0, 0
	}
	p := norm.NFD.PropertiesString(string(r))
	if d := p.Decomposition(); len(d) > 0 {
		first := norm.NFD.Properties(d).CCC()
		if first == 0 {
			return 0, 0
		}
		last, _ := utf8.DecodeLastRune(d)
		return first, norm.NFD.PropertiesString(string(last)).CCC()
	}
	return p.CCC(), p.CCC()
}

func isPlain(r rune) bool {
	return !(r >= 0xac00 && r < 0xd7a4) && !(unicode.Is(unicode.Han, r) && unicode.IsLetter(r)) &&
		unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z, unicode.C) && !unicode.Is(unicode.Co, r)
}

// Sequences whose weights are not those of their parts. Partners stand in the same or a neighbouring block of 256, or
// are combining marks or a middle dot.
func findContractions() map[string][]byte {
	var all, marks []rune
	blocks := map[rune][]rune{}
	single := map[rune][]byte{}
	for r := rune(1); r < 0x20000; r++ {
		if r >= 0xd800 && r < 0xf900 || !isPlain(r) {
			continue
		}
		all = append(all, r)
		single[r] = key(string(r))
		if unicode.Is(unicode.M, r) {
			marks = append(marks, r)
		} else {
			blocks[r>>8] = append(blocks[r>>8], r)
		}
	}
	out := map[string][]byte{}
	for _, a := range all {
		_, aLast := classes(a)
		try := func(b rune) {
			s := string([]rune{a, b})
			k := key(s)
			if bytes.Equal(k, append(bytes.Clone(single[a]), single[b]...)) {
				return
			}
			if bFirst, _ := classes(b); bFirst > 0 && aLast > bFirst {
				return // Reordered.
			}
			out[s] = k
		}
		for d := rune(-1); d <= 1; d++ {
			for _, b := range blocks[a>>8+d] {
				try(b)
			}
		}
		for _, b := range marks {
			try(b)
		}
		try(0xb7)
		try(0x387)
	}
	for _, s := range []string{"\u0fb2\u0f71\u0f80", "\u0fb3\u0f71\u0f80", "\u0dd9\u0dcf\u0dca", "\u0cc6\u0cc2\u0cd5"} {
		out[s] = key(s)
	}
	return out
}

type token struct {
	k     []byte
	class uint8
}

// The algorithm: contractions are found in the text as it is (marks that stand between, in ascending order of class, are
// stepped over and then stay behind), then marks are put in order of class.
func model(s string, contractions map[string][]byte, starts map[rune]bool) []byte {
	rs := []rune(s)
	used := make([]bool, len(rs))
	raised := make([]uint8, len(rs))
	var tokens []token
	for i := range rs {
		if used[i] {
			continue
		}
		current := string(rs[i])
		class, _ := classes(rs[i])
		if starts[rs[i]] {
			j := i + 1
			for n := 3; n >= 2; n-- {
				if i+n > len(rs) {
					continue
				}
				free := true
				for q := i; q < i+n; q++ {
					free = free && !used[q]
				}
				if _, ok := contractions[string(rs[i:i+n])]; ok && free {
					current = string(rs[i : i+n])
					for q := i; q < i+n; q++ {
						used[q] = true
					}
					j = i + n
					break
				}
			}
			passed := uint8(0)
			for ; j < len(rs); j++ {
				if used[j] {
					continue
				}
				first, last := classes(rs[j])
				if first <= passed {
					break
				}
				if _, ok := contractions[current+string(rs[j])]; ok {
					current += string(rs[j])
					used[j] = true
					for q := i + 1; q < j; q++ {
						raised[q] = max(raised[q], class)
					}
					continue
				}
				passed = last
			}
		}
		k, ok := contractions[current]
		if !ok {
			k = key(current)
		}
		tokens = append(tokens, token{k, max(class, raised[i])})
	}
	for i := 0; i < len(tokens); {
		if tokens[i].class == 0 {
			i++
			continue
		}
		j := i
		for j < len(tokens) && tokens[j].class > 0 {
			j++
		}
		sort.SliceStable(tokens[i:j], func(x, y int) bool { return tokens[i+x].class < tokens[i+y].class })
		i = j
	}
	var out []byte
	for _, t := range tokens {
		out = append(out, t.k...)
	}
	return out
}

func check(n int, contractions map[string][]byte) {
	starts := map[rune]bool{}
	var parts, marks, composed, plain []rune
	for s := range contractions {
		starts[[]rune(s)[0]] = true
		parts = append(parts, []rune(s)...)
	}
	for r := rune(1); r <= utf8.MaxRune; r++ {
		if r >= 0xd800 && r < 0xe000 {
			continue
		}
		if c, _ := classes(r); c > 0 {
			marks = append(marks, r)
		}
		if norm.NFD.String(string(r)) != string(r) {
			composed = append(composed, r)
		}
		if unicode.IsGraphic(r) {
			plain = append(plain, r)
		}
	}
	common := []rune("\u0300\u0301\u0306\u0308\u030f\u030b\u0327\u0323\u0315\u0345\u0f71\u0f72\u0f80\u0f74\u0653\u0654\u0655\u064b\u094d\u0363")
	random := rand.New(rand.NewSource(1))
	pick := func(from []rune) rune { return from[random.Intn(len(from))] }
	wrong := 0
	for i := 0; i < n; i++ {
		var s []rune
		for length := 1 + random.Intn(8); length > 0; length-- {
			switch random.Intn(8) {
			case 0, 1:
				s = append(s, pick(parts))
			case 2, 3:
				s = append(s, pick(common))
			case 4:
				s = append(s, pick(marks))
			case 5:
				s = append(s, pick(composed))
			case 6:
				s = append(s, pick(plain))
			case 7:
				s = append(s, rune(random.Intn(0x110000)))
			}
		}
		text := string(s)
		if a, b := key(text), model(text, contractions, starts); !bytes.Equal(a, b) {
			wrong++
			fmt.Printf("%+q library %x model %x\n", text, a, b)
		}
	}
	fmt.Println(wrong, "of", n, "wrong;", len(contractions), "contractions")
}

const (
	ascending = 0
	constant  = 1
	expanded  = 2
)

func write(contractions map[string][]byte) {
	type run struct{ first, info uint32 }
	var runs []run
	expansions := []uint32{}
	var previous []uint32
	kind := -1
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if r >= 0xac00 && r < 0xd7a4 {
			// Hangul syllables have the weights of their letters, which the program composes.
			i := r - 0xac00
			letters := []rune{0x1100 + i/588, 0x1161 + i%588/28}
			if i%28 > 0 {
				letters = append(letters, 0x11a7+i%28)
			}
			if !bytes.Equal(key(string(r)), key(string(letters))) {
				panic("Hangul")
			}
			kind = -1
			continue
		}
		w := []uint32{}
		if r < 0xd800 || r >= 0xe000 {
			w = weights(key(string(r)))
		}
		if len(w) > 1 {
			runs = append(runs, run{uint32(r), expanded<<30 | uint32(len(expansions))})
			expansions = append(append(expansions, uint32(len(w))), w...)
			kind = -1
			continue
		}
		one := uint32(0)
		if len(w) == 1 {
			one = w[0]
		}
		if kind >= 0 {
			start := runs[len(runs)-1]
			if kind != constant && one != 0 && one == previous[0]+1 {
				runs[len(runs)-1].info = ascending<<30 | start.info&0x3fffffff
				kind = ascending
				previous = []uint32{one}
				continue
			}
			if (kind == constant || start.first == uint32(r)-1) && one == previous[0] {
				runs[len(runs)-1].info = constant<<30 | start.info&0x3fffffff
				kind = constant
				continue
			}
		}
		info := uint32(ascending<<30) | one
		if one == 0 {
			info = constant << 30
		}
		runs = append(runs, run{uint32(r), info})
		kind = ascending
		if one == 0 {
			kind = constant
		}
		previous = []uint32{one}
	}

	out := func(format string, a ...any) { fmt.Fprintf(os.Stdout, format, a...) }
	list := func(values []uint32) {
		for i := 0; i < len(values); {
			line := "   "
			for ; i < len(values); i++ {
				item := fmt.Sprintf(" 0x%x,", values[i])
				if len(line)+len(item) > 120 {
					break
				}
				line += item
			}
			out("%s\n", line)
		}
	}
	out("// Generated by unicode_table/main.go; do not change. Primary weights of the root collation of CLDR 23 (UCA 6.2.0):\n")
	out("// Unicode data, Copyright (c) 1991-2013 Unicode, Inc., by way of golang.org/x/text, Copyright (c) 2009 The Go\n")
	out("// Authors (BSD-3-Clause, see unicode_table/LICENSE.x-text).\n\n")
	out("#include \"shard/unicode_table.h\"\n\nnamespace vitrail::shard::unicode {\n\n// clang-format off\n")
	var firsts, infos []uint32
	for _, r := range runs {
		firsts = append(firsts, r.first)
		infos = append(infos, r.info)
	}
	out("const uint32_t kRunFirst[] = {\n")
	list(firsts)
	out("};\nconst uint32_t kRunInfo[] = {\n")
	list(infos)
	out("};\nconst uint32_t kRunCount = %d;\nconst uint32_t kExpansions[] = {\n", len(runs))
	list(expansions)

	var names []string
	for s := range contractions {
		names = append(names, s)
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := []rune(names[i]), []rune(names[j])
		for k := 0; k < len(a) && k < len(b); k++ {
			if a[k] != b[k] {
				return a[k] < b[k]
			}
		}
		return len(a) < len(b)
	})
	out("};\nconst Contraction kContractions[] = {\n")
	for _, s := range names {
		rs := append([]rune(s), 0)[:3]
		w := append(weights(contractions[s]), 0, 0, 0)
		if len(weights(contractions[s])) > 3 {
			panic(fmt.Sprintf("%+q has %x", s, contractions[s]))
		}
		out("    {{0x%x, 0x%x, 0x%x}, {0x%x, 0x%x, 0x%x}},\n", rs[0], rs[1], rs[2], w[0], w[1], w[2])
	}
	out("};\nconst uint32_t kContractionCount = %d;\nconst CombiningRange kCombining[] = {\n", len(names))
	count := 0
	for r := rune(0); r <= utf8.MaxRune; {
		first, last := uint8(0), uint8(0)
		if r < 0xd800 || r >= 0xe000 {
			first, last = classes(r)
		}
		end := r + 1
		for end <= utf8.MaxRune && first > 0 {
			f, l := classes(end)
			if f != first || l != last {
				break
			}
			end++
		}
		if first > 0 {
			out("    {0x%x, 0x%x, %d, %d},\n", r, end-1, first, last)
			count++
		}
		r = end
	}
	out("};\nconst uint32_t kCombiningCount = %d;\n// clang-format on\n\n}  // namespace vitrail::shard::unicode\n", count)
}

func main() {
	checks := flag.Int("check", 0, "number of random strings to compare")
	flag.Parse()
	contractions := findContractions()
	if *checks > 0 {
		check(*checks, contractions)
		return
	}
	write(contractions)
}
