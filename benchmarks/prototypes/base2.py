from base import *
import base
va=sp==8
for lbl,trm in (('all',tr),('nofinal',tr&(final==0)),('tr+val',(sp<9)&(final==0))):
    base.c1=np.bincount(e[trm],minlength=E).astype(float)
    base.tri=collections.defaultdict(lambda: collections.Counter())
    for i in np.flatnonzero(trm): base.tri[prev[i],u[i]][e[i]-indptr[u[i]]]+=1
    for name,m in (('fin te',te&(fin==1)&(final==0)),('unf te',te&(fin==0)),('fin va',va&(fin==1)&(final==0)),('unf va',va&(fin==0))):
        for nm,f in (('m1',m1),('m2',m2)): print(lbl,name,nm,ev(f,m))
for s in range(10): print(s,len(set(pid[sp==s])),(sp==s).sum(), np.sort(np.bincount(pid[sp==s]))[-5:])
