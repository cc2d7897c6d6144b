package plan

// OnlyLink gives the plan with its adoptions alone, and of these only the link: who
// owns what is settled, and no account is written to. What differs shows in the
// next plan. Warnings are left out, for they are about the whole plan.
func OnlyLink(p Plan) Plan {
	out := p
	out.Decisions, out.Warnings, out.Bots = nil, nil, nil
	for _, d := range p.Decisions {
		if d.Action != Adopt || len(d.Ops) == 0 || d.Ops[0].Kind != LinkAccount {
			continue
		}
		d.Ops, d.Notes, d.Withheld, d.Chain = []Op{d.Ops[0]}, nil, nil, 0
		out.Decisions = append(out.Decisions, d)
	}
	return out
}
