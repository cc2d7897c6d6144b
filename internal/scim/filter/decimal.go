package filter

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
)

// decimal is a number of JSON by its value, however large: 0.DIGITS × 10^exponent,
// DIGITS with no zero at either end and empty for zero.
type decimal struct {
	negative bool
	digits   string
	exponent int64
}

// exponentBound stands for exponents that are larger; no text that is within the
// limits has as many digits.
const exponentBound = 1 << 40

func parseDecimal(s string) (decimal, bool) {
	if !isNumber(s) {
		return decimal{}, false
	}
	mantissa, negative := strings.CutPrefix(s, "-")
	var exponent int64
	if i := strings.IndexAny(mantissa, "eE"); i >= 0 {
		exponent = parseExponent(mantissa[i+1:])
		mantissa = mantissa[:i]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	all := whole + fraction
	significant := strings.TrimLeft(all, "0")
	exponent += int64(len(whole) - (len(all) - len(significant)))
	significant = strings.TrimRight(significant, "0")
	if significant == "" {
		return decimal{}, true
	}
	return decimal{negative: negative, digits: significant, exponent: exponent}, true
}

func parseExponent(s string) int64 {
	e, err := strconv.ParseInt(s, 10, 64)
	switch {
	case err == nil:
		return max(-exponentBound, min(exponentBound, e))
	case s[0] == '-':
		return -exponentBound
	}
	return exponentBound
}

func (d decimal) compare(other decimal) int {
	if sign := cmp.Compare(d.sign(), other.sign()); sign != 0 || d.digits == "" {
		return sign
	}
	size := cmp.Compare(d.exponent, other.exponent)
	if size == 0 {
		size = strings.Compare(d.digits, other.digits)
	}
	return size * d.sign()
}

func (d decimal) sign() int {
	switch {
	case d.digits == "":
		return 0
	case d.negative:
		return -1
	}
	return 1
}

// decimalOf gives the number that an item's value is.
func decimalOf(v any) (decimal, bool) {
	switch v := v.(type) {
	case json.Number:
		return parseDecimal(v.String())
	case string:
		return parseDecimal(v)
	case int:
		return parseDecimal(strconv.Itoa(v))
	case int64:
		return parseDecimal(strconv.FormatInt(v, 10))
	case float64:
		return parseDecimal(strconv.FormatFloat(v, 'g', -1, 64))
	}
	return decimal{}, false
}
