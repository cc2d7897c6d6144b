package sources

import (
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
)

// computedControl is where Active Directory shows a lockout (MS-ADTS 3.1.1.4.5.17).
const computedControl = "msDS-User-Account-Control-Computed"

// lockoutBit is ADS_UF_LOCKOUT.
const lockoutBit = 0x10

// lockoutAttributes tell of too many wrong passwords, of which anybody can make as
// many as he likes.
func lockoutAttributes() []string {
	return []string{
		"lockoutTime", "badPwdCount", "badPasswordTime", "pwdAccountLockedTime", "pwdFailureTime",
		"accountUnlockTime", "passwordRetryCount", "retryCountResetTime", "krbLoginFailedCount", "krbLastFailedAuth", computedControl,
	}
}

// refuseLockout finds fault with a disabled_when that takes a lockout for leaving:
// a stranger at the login page could then have anybody's account switched off.
// lockedForGood, the year 0 and other bits of the computed control tell another thing.
func (p *program) refuseLockout() []error {
	if p.tree == nil {
		return nil
	}
	var errs []error
	fine := map[int64]bool{}
	info := p.tree.SourceInfo()
	ast.PreOrderVisit(p.tree.Expr(), ast.NewExprVisitor(func(x ast.Expr) {
		if x.Kind() == ast.CallKind {
			for _, arg := range x.AsCall().Args() {
				fine[arg.ID()] = fine[arg.ID()] || noLockout(x.AsCall(), arg)
			}
		}
		name := mentioned(x)
		if fine[x.ID()] || !slices.ContainsFunc(lockoutAttributes(), func(l string) bool { return strings.EqualFold(l, name) }) {
			return
		}
		loc := info.GetStartLocation(x.ID())
		hint := "leave it out: a lockout passes by itself, and anybody can cause one with wrong passwords"
		switch {
		case strings.EqualFold(name, computedControl):
			hint = "leave bit 16 out of the mask: " + hint[len("leave it out: "):]
		case strings.EqualFold(name, "pwdAccountLockedTime"):
			hint = "write lockedForGood(attr.pwdAccountLockedTime), which tells an administrator's lock from a lockout"
		}
		errs = append(errs, p.errorAt(loc.Line(), loc.Column()+1, name+" tells of a lockout, by which nobody has left", hint))
	}))
	return errs
}

// noLockout tells a use of an attribute that cannot see a lockout in it.
func noLockout(call ast.CallExpr, arg ast.Expr) bool {
	switch args := call.Args(); call.FunctionName() {
	case "lockedForGood":
		return true
	case "bit":
		mask, ok := literal[types.Int](args[1])
		return ok && strings.EqualFold(mentioned(arg), computedControl) && mask&lockoutBit == 0
	case "_==_":
		other := args[0]
		if other.ID() == arg.ID() {
			other = args[1]
		}
		year0, ok := literal[types.String](other)
		return ok && year0 == "000001010000Z" && strings.EqualFold(mentioned(arg), "pwdAccountLockedTime")
	}
	return false
}

// mentioned gives the attribute that an expression names by itself, of whichever
// root, "" if it is anything else.
func mentioned(x ast.Expr) string {
	switch x.Kind() {
	case ast.SelectKind:
		if sel := x.AsSelect(); isRoot(sel.Operand()) {
			return sel.FieldName()
		}
	case ast.CallKind:
		call := x.AsCall()
		if call.FunctionName() != "_[_]" || len(call.Args()) != 2 || !isRoot(call.Args()[0]) {
			return ""
		}
		name, _ := literal[types.String](call.Args()[1])
		return string(name)
	}
	return ""
}
