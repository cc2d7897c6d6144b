package sources

import (
	"fmt"
	"reflect"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// activation shows one Record to the engine under the root names.
type activation struct {
	rec    *Record
	source string
}

func (a *activation) ResolveName(name string) (any, bool) {
	switch name {
	case rootAttr, rootRow:
		return firstValues{rec: a.rec}, true
	case rootAttrs:
		return allValues{rec: a.rec}, true
	case rootGroups:
		return types.NewStringList(types.DefaultTypeAdapter, a.rec.Groups), true
	case rootSource:
		return types.String(a.source), true
	}
	return nil, false
}

func (a *activation) Parent() cel.Activation { return nil }

// view is the part of ref.Val that a Record never needs: the compiler lets no
// expression use it as a value of its own.
type view struct{}

func (view) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("attributes cannot become %v", t)
}

func (view) ConvertToType(t ref.Type) ref.Val {
	return types.NewErr("attributes cannot become %s", t.TypeName())
}
func (view) Equal(ref.Val) ref.Val { return types.False }
func (view) Type() ref.Type        { return types.MapType }
func (view) Value() any            { return nil }

// firstValues and allValues are indexers, not maps: an indexer may answer for
// an absent key while has() still tells that it is absent.
type firstValues struct {
	view
	rec *Record
}

func (f firstValues) Get(key ref.Val) ref.Val {
	name, ok := key.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(key)
	}
	if err := f.rec.unseen(string(name)); err != nil {
		return types.WrapErr(err)
	}
	return types.String(f.rec.Value(string(name)))
}

func (f firstValues) IsSet(key ref.Val) ref.Val { return isSet(f.rec, key) }

type allValues struct {
	view
	rec *Record
}

func (a allValues) Get(key ref.Val) ref.Val {
	name, ok := key.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(key)
	}
	if err := a.rec.unseen(string(name)); err != nil {
		return types.WrapErr(err)
	}
	return types.NewStringList(types.DefaultTypeAdapter, a.rec.Values(string(name)))
}

func (a allValues) IsSet(key ref.Val) ref.Val { return isSet(a.rec, key) }

func isSet(rec *Record, key ref.Val) ref.Val {
	name, ok := key.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(key)
	}
	if err := rec.unseen(string(name)); err != nil {
		return types.WrapErr(err)
	}
	return types.Bool(len(rec.Values(string(name))) > 0)
}
